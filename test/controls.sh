#!/usr/bin/env bash
# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
#
# controls.sh PROGRAM FAULT REPORT: the program commits the fault, and the sanitizer it was built with
# says so.
set -u
report=$("$1" "$2" 2>&1)
status=$?
echo "$report" | head -n 20
[ $status != 0 ] || { echo "no sanitizer ended the program"; exit 1; }
echo "$report" | grep -q -- "$3" || { echo "no report of: $3"; exit 1; }
