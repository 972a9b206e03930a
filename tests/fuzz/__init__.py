"""The fuzzers: run by hand or by the slow tests, with a fixed seed."""
