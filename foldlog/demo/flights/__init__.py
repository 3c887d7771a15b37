"""Every flight that left New York in 2013: a million events, four read models, one check."""
