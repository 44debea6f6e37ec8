"""What Snakemake asks: inputs of jobs, seals, sessions, and the frame of a job."""
