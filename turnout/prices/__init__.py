"""What AWS asks for: one dated, sourced table for each Region. No price stands anywhere else."""

from turnout.prices.table import FOLDER, SURE, Price, PriceMissing, Prices, load, regions

__all__ = ["FOLDER", "SURE", "Price", "PriceMissing", "Prices", "load", "regions"]
