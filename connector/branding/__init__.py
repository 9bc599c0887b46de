"""How a company looks in what its customers get: logo, colour, who signs, footer."""
