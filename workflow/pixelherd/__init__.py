"""pixelherd finds the few pixels of an image collection worth labelling, and trains a segmenter from them.

The package holds the method as pure functions and small classes; it knows nothing of Snakemake. The workflow in
``workflow/rules`` calls it through the thin scripts in ``workflow/scripts``.
"""

__version__ = "0.1.0"
