#!/bin/sh
# supervise_node.sh DIR SERVER EPMD: runs one private RabbitMQ node for the process at the other end of stdin.
#
# It is a process of its own so that nothing outlives that process: however the owner dies (an exit, Ctrl-C, kill -9),
# stdin ends, and then the node, its epmd and DIR are removed. Run it in a session of its own, where the terminal's
# Ctrl-C does not reach it. The node's settings are in the environment.
#
#   stdin   "start"     starts the node (again)
#   stdout  "exited N"  the node ended, by itself or by a signal
set -u
dir=$1 server=$2 epmd=$3
state=$dir/supervisor.state
echo idle > "$state"

# The owner's own epmd: those of the machine and of other runs are not touched. A node of a cluster gets no EPMD,
# because another script runs it.
epmd_pid=''
if [ -n "$epmd" ]; then
  "$epmd" -address 127.0.0.1 -port "$ERL_EPMD_PORT" > "$dir/epmd.out" 2>&1 < /dev/null &
  epmd_pid=$!
fi

start() {
  echo starting > "$state"
  (
    sh -c 'echo "$$" > "$1"; exec "$2"' node "$state" "$server" >> "$dir/node.out" 2>&1 < /dev/null
    code=$?
    echo idle > "$state"
    echo "exited $code"
  ) 2>> "$dir/node.out" &
}

cleanup() {
  trap '' HUP INT TERM PIPE
  while [ "$(cat "$state" 2> /dev/null)" = starting ]; do sleep 0.05; done
  # If DIR is gone already, the pids are unknown: nothing is waited for, and the end of this session ends the node.
  known=$(cat "$state" 2> /dev/null)
  # The data is deleted, so the node need not shut down in order; a suspended one could not.
  for pid in "$known" "$(cat "$dir/rabbit.pid" 2> /dev/null)" "$epmd_pid"; do
    case $pid in '' | *[!0-9]*) ;; *) kill -KILL "$pid" ;; esac
  done 2> /dev/null
  [ -z "$known" ] || wait
  rm -rf "$dir"
  kill -KILL 0 # this session: processes that the server's scripts may have left
}
trap 'cleanup' EXIT
trap 'exit 1' HUP INT TERM

while read -r line; do
  [ "$line" = start ] && start
done
