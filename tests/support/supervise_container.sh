#!/bin/sh
# supervise_container.sh NAME IMAGE: runs one container of RabbitMQ for the process at the other end of stdin, and
# removes it when stdin ends, however that process died. Docker picks a free port of 127.0.0.1.
#
#   stdout  "started"  the container runs (its broker needs some seconds more)
set -u
name=$1 image=$2
trap 'docker rm --force --volumes "$name" > /dev/null 2>&1 < /dev/null' EXIT
trap 'exit 1' HUP INT TERM

docker run --detach --rm --name "$name" --publish 127.0.0.1::5672 "$image" > /dev/null < /dev/null || exit 1
echo started
trap '' PIPE
while read -r _; do :; done
