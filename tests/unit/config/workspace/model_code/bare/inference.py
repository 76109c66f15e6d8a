"""A model whose columns nobody has said."""
