"""Tables of methods: every row trained and measured by one command."""
