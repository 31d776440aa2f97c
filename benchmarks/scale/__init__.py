"""What the daemon costs, and how it grows: latency, large trees, bursts, weeks of churn. Run it with ``make bench``."""
