"""What runs in a pool child: claim, run and finish, one message after the other."""
