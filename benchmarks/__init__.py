"""Measurements that anyone can repeat: real servers, real peers, one run, and every number of the documentation."""
