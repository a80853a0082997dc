"""``python -m transfergate.cli``."""

from transfergate.cli import main

raise SystemExit(main())
