"""Helpers of the conformance suites."""
