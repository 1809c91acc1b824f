"""How the conformance suites check: probes, draws, reports."""
