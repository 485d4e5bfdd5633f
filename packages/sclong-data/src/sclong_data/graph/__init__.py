"""The gene graph: which genes are alike, by Gene Ontology, pathways or interactions."""
