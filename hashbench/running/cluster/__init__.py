"""The runner's work on the processes of a Dask cluster."""
