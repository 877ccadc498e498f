"""Operations around the method: checkpoints, divergence, processes, files, the console."""
