"""Whether explain names defects that were planted in the port."""
