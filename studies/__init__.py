"""Studies with the packages: what they hold is no part of an installed one."""
