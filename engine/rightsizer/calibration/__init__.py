"""What the self-test's figures mean: pure judgements, and what numbers can be trusted for."""
