"""A job as one HTML page: no script, no network, nothing to be fetched."""
