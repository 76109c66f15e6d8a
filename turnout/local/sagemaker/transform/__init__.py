"""What Batch Transform does to an object's bytes: split, batch, filter, join, assemble. No I/O here."""
