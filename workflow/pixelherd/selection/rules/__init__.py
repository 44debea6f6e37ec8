"""Rules that choose pixels together: one a module, entered in :data:`pixelherd.selection.methods.SELECTIONS`."""
