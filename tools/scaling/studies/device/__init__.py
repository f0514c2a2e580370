"""What a device other than the CPU computes, how far it is from the CPU, how fast, in which memory."""
