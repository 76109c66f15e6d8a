"""What AWS asks for: one dated, sourced table for each Region. No price stands anywhere else."""

from turnout.prices.table import DEFAULT_REGION, FOLDER, SURE, Price, PriceMissing, Prices, PricesBroken, load, regions

__all__ = ["DEFAULT_REGION", "FOLDER", "SURE", "Price", "PriceMissing", "Prices", "PricesBroken", "load", "regions"]
