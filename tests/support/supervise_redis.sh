#!/bin/sh
# supervise_redis.sh DIR SERVER CONF LIBRARIES: runs one private Redis or Valkey for the process at the other end of stdin.
#
# It is a process of its own so that nothing outlives that process: however the owner dies, stdin ends, and then the server and
# DIR are removed. Run it in a session of its own, where the terminal's Ctrl-C does not reach it.
#
#   stdin   "start"     starts the server (again)
#   stdout  "exited N"  the server ended, by itself or by a signal
set -u
dir=$1 server=$2 conf=$3 libraries=$4
pid=$dir/server.pid
echo idle > "$pid"

start() {
  echo starting > "$pid"
  (
    trap '' XFSZ # a file that must not grow is an error, as on a full disk
    [ -z "$libraries" ] || export LD_LIBRARY_PATH="$libraries"
    sh -c 'echo "$$" > "$1"; shift; exec "$@"' server "$pid" $server "$conf" >> "$dir/server.out" 2>&1 < /dev/null
    code=$?
    echo idle > "$pid"
    echo "exited $code"
  ) 2>> "$dir/server.out" &
}

cleanup() {
  trap '' HUP INT TERM PIPE
  while [ "$(cat "$pid" 2> /dev/null)" = starting ]; do sleep 0.05; done
  # If DIR is gone already, the pid is unknown: nothing is waited for, and the end of this session ends the server.
  known=$(cat "$pid" 2> /dev/null)
  case $known in '' | *[!0-9]*) ;; *) kill -KILL "$known" && wait ;; esac 2> /dev/null
  rm -rf "$dir"
  kill -KILL 0 # this session
}
trap 'cleanup' EXIT
trap 'exit 1' HUP INT TERM

while read -r line; do
  [ "$line" = start ] && start
done
