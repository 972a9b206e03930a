"""Pictures for papers; the only package that imports matplotlib."""
