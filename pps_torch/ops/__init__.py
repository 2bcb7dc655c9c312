"""The few hot operations, in three families: counting, painting and scoring."""
