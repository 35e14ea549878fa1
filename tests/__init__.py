"""The tests; a package, so that helpers are found by name in worker processes as well."""
