"""The benchmark: `python -m bench` measures the bridge against bare baselines, side by side."""
