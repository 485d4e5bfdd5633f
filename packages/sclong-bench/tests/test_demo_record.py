from sclong_bench.demo.record import Machine, this_machine, versions


def test_the_machine_is_named_in_words_that_fit_many():
    assert str(Machine(cores=2, threads=1, system="Linux x86_64")) == (
        "1 of 2 CPU cores, Linux x86_64, no GPU"
    )
    assert this_machine().cores >= 1


def test_versions_are_those_of_what_computes():
    found = versions()
    assert {"python", "torch", "sclong-core", "sclong-bench", "umap-learn"} <= set(found)
    assert all(which[0].isdigit() for which in found.values())
