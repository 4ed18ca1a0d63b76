"""Results as text and documents. Renders values, computes none."""
