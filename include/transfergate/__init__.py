"""transfergate: does pre-training help this ticker? A gate for transfer of trading policies."""
