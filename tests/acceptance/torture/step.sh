# One task of the load: LOG PAUSE [PARENT...]. Says when it begins and ends in the log (one write each, appended),
# and leaves a result that shows who made it and out of what: any mixing or tearing of files is seen.
set -eu
log=$1 pause=$2
shift 2
# A killed `date` ends the step here (set -e): a line without its time would say nothing.
say() {
    at=$(date +%s.%N)
    echo "$ECLOUD_TASK_ID $ECLOUD_ATTEMPT $1 $$ $ECLOUD_WORKER $at" >> "$log"
}
say start
sleep "$pause"
{
    echo "$ECLOUD_TASK_ID $ECLOUD_ATTEMPT"
    [ $# = 0 ] || md5sum "$@"
    yes "$ECLOUD_TASK_ID" | head -n 500
} > result
say end
