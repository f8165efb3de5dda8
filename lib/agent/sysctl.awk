# The number in a sysctl, 0 if it does not exist. The path begins behind /proc/sys/net.
function setting(path,    line) {
  line = 0
  getline line < ("/proc/sys/net/" path)
  close("/proc/sys/net/" path)
  return line + 0
}

# The larger one of two settings counts: 0 off, 1 strict, 2 loose.
function reverse_path_filter(device,    all, one) {
  all = setting("ipv4/conf/all/rp_filter")
  one = setting("ipv4/conf/" device "/rp_filter")
  return all > one ? all : one
}
