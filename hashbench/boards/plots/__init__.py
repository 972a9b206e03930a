"""Pictures for papers; the only place that imports matplotlib."""
