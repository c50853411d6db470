"""The samlab command, a file for each group of subcommands."""
