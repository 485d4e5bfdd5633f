"""Measurements of the model beside a plain implementation. They report; they never judge."""
