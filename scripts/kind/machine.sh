# Sourced by all.sh: what a Docker engine changes on the machine, remembered before it starts and put back after its end.
# Rules that somebody else makes meanwhile are lost; what is there before stays.
settings=(net.ipv4.ip_forward fs.inotify.max_user_instances)

# remember_machine FOLDER
remember_machine() {
  iptables-save > "$1/rules" && ip -brief link > "$1/links" && sysctl "${settings[@]}" > "$1/settings"
}

# restore_machine FOLDER DATA: with the engine's data below DATA
restore_machine() {
  local folder=$1 data=$2 table mounted
  # A table that had no rules at all is not in the file.
  for table in nat filter; do iptables -t "$table" -F; iptables -t "$table" -X; done
  iptables-restore < "$folder/rules"
  grep -q '^docker0 ' "$folder/links" || ip link delete docker0
  sysctl -q -p "$folder/settings"
  while read -r mounted; do umount "$mounted"; done < <(awk -v below="$data/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r)
  find /sys/fs/cgroup -depth -type d -path '/sys/fs/cgroup/*docker*' -exec rmdir {} +
}
