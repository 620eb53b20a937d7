// Filled in by the first step.
