"""Commands: arguments in, exit codes and readable errors out."""
