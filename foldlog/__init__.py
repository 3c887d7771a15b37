"""What a person runs: the application, the command line, the embedded servers."""
