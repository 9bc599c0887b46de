"""Where customers pay by bank: a company's accounts, checked and stored, and the codes that banking apps read."""
