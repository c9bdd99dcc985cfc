"""Random functions and requests through both packages: the same answers, but for the differences that are listed."""
