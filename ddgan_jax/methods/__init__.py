"""The methods: one file, one paper."""
