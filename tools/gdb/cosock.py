# Copyright the cosock authors
# SPDX-License-Identifier: BSL-1.0
"""Commands for gdb: what the tasks of a program that uses cosock wait for, in a process or a core file.

    (gdb) source tools/gdb/cosock.py
    (gdb) cosock tasks
    (gdb) cosock task 1.2

They read the memory of the program, and call none of its functions. The library needs debug information
(-g), with any optimization.
"""

import re

import gdb

NAMESPACE = 'cosock::detail::'

# The words of dump_tasks() for the classes of operations.
OPERATIONS = [
    (r'sleep_operation', 'a sleep'),
    (r'event_wait_operation', 'event::wait()'),
    (r'semaphore_acquire_operation', 'a semaphore or mutex'),
    (r'channel_receive_operation', 'channel::receive()'),
    (r'channel_send_operation', 'channel::send()'),
    (r'broadcast_receive_operation', 'subscription::receive()'),
    (r'mailbox_receive_operation', 'mailbox::receive()'),
    (r'future_get_operation', 'a future'),
    (r'signal_wait_operation', 'signal_set::wait()'),
    (r'outbox_send_operation', 'outbox::send()'),
    (r'outbox_flush_operation', 'outbox::flush()'),
    (r'reader_\w+_operation', 'a read of a buffered_reader'),
    (r'frame_send_operation', 'send()'),
    (r'tcp_connect_operation', 'connect()'),
    (r'local_connect_operation', 'connect() to a local socket'),
    (r'accept_operation', 'accept()'),
    (r'stream_peer_closed_operation', 'wait_peer_closed()'),
    (r'stream_flush_operation', 'the buffers of a stream to be sent'),
    (r'message_receive_operation', 'receive_message()'),
    (r'descriptor_send_operation', 'send_with_descriptors()'),
    (r'descriptor_receive_operation', 'receive_with_descriptors()'),
    (r'job_operation', 'the look-up of a name'),
    (r'asio_operation', 'an operation of Asio'),
]


def type_of(name):
    return gdb.lookup_type(NAMESPACE + name)


def entries(head):
    """The elements of a circular list, without its head."""
    address = int(head.address)
    at = head['following']
    while int(at) not in (0, address):
        yield at
        at = at.dereference()['following']


def is_derived(value_type, name):
    value_type = value_type.strip_typedefs()
    if value_type.tag == NAMESPACE + name:
        return True
    return any(field.is_base_class and is_derived(field.type, name) for field in value_type.fields())


def promise_at(coroutine):
    """The promise_base of the coroutine at this address: it is behind the two pointers of a frame."""
    pointer = gdb.lookup_type('char').pointer()
    at = gdb.Value(int(coroutine)).cast(pointer) + 2 * pointer.sizeof
    return at.cast(type_of('promise_base').pointer()).dereference()


def place(promise):
    source = promise['where']['_M_impl']
    if int(source) == 0:
        return None
    file = source['_M_file_name'].string()
    return f'{file.rsplit("/", 1)[-1]}:{int(source["_M_line"])}'


class Task:
    def __init__(self):
        self.name = []
        self.where = []
        self.waits_for = None
        self.cancelled = False
        self.tasks = []

    def add_places(self, coroutine):
        """The co_awaits on the way, innermost first; not that of the outermost, which is the library's."""
        inner = []
        while int(coroutine) != 0:
            promise = promise_at(coroutine)
            continuation = promise['continuation']['_M_fr_ptr']
            if int(continuation) == 0:
                break
            inner.append(place(promise))
            coroutine = continuation
        self.where = inner + self.where

    def lines(self, number, depth):
        text = ', '.join(([f'"{" / ".join(self.name)}"'] if self.name else []) +
                         ([' < '.join(each or '?' for each in self.where)] if self.where else []))
        waits = self.waits_for or f'waits for {len(self.tasks)} task' + 's' * (len(self.tasks) != 1)
        yield f'{"  " * depth}{number} {text}{": " if text else ""}{waits}' + \
            (', cancelled' if self.cancelled else '')
        for i, task in enumerate(self.tasks, 1):
            yield from task.lines(f'{number}.{i}', depth + 1)


def describe(pending, task):
    """What a `cancellable` that is pending waits for."""
    found = pending.dynamic_type
    value = pending.cast(found)
    name = found.tag or ''
    if is_derived(found, 'task_group'):
        group = value.cast(type_of('task_group'))
        if int(group['awaiting_']['_M_fr_ptr']) != 0:
            task.add_places(group['awaiting_']['_M_fr_ptr'])
        task.tasks += children(group)
    elif any(is_derived(found, scope) for scope in ('timeout_scope', 'shield_scope', 'described_scope')):
        if is_derived(found, 'named_scope'):
            named = value.cast(type_of('named_scope'))['name_']
            task.name.append(named['_M_dataplus']['_M_p'].string(length=int(named['_M_string_length'])))
        inner = value['inner_']['pending']
        if int(inner) != 0:
            describe(inner.dereference(), task)
    elif is_derived(found, 'awaited_operation'):
        task.add_places(value.cast(type_of('awaited_operation'))['awaiting_'])
        task.waits_for = operation_text(found, value)
    else:
        task.waits_for = 'its turn'


def operation_text(found, value):
    name = found.tag
    if is_derived(found, 'stream_operation') and 'stream_transfer_operation' in name:
        kind = str(value.cast(type_of('stream_operation'))['kind_']).rsplit('::', 1)[-1]
        return {'send': 'send()', 'send_some': 'send()', 'receive': 'receive()'}.get(kind, 'receive_exactly()')
    if 'stream_ready_operation' in name:
        reads = str(value.cast(type_of('io_operation'))['direction_']).endswith('reading')
        return 'wait_readable()' if reads else 'wait_writable()'
    if is_derived(found, 'datagram_operation'):
        kind = str(value.cast(type_of('datagram_operation'))['kind_'])
        return 'the receive of a datagram' if 'receive' in kind else 'the send of a datagram'
    for pattern, text in OPERATIONS:
        if re.search(pattern, name):
            return text
    return name


def children(group):
    tasks = []
    for at in entries(group['children_']):
        sibling = at.cast(gdb.lookup_type(NAMESPACE + 'child_coroutine::sibling_link').pointer())
        start = sibling.cast(gdb.lookup_type(NAMESPACE + 'child_coroutine::starting').pointer())
        own = start.dereference()['promise'].referenced_value()['own']
        task = Task()
        task.cancelled = bool(own['cancelled'])
        if int(own['pending']) != 0:
            describe(own['pending'].dereference(), task)
        else:
            task.waits_for = 'runs, or awaits something that is not of cosock'
        tasks.append(task)
    return tasks


def loops():
    """The tasks of each loop of the program."""
    head = gdb.parse_and_eval("&'cosock::detail::forking::all()::head'")
    head = head.cast(type_of('link').pointer()).dereference()
    found = []
    for at in entries(head):
        member = at.cast(gdb.lookup_type(NAMESPACE + 'engine::membership').pointer()).dereference()
        tasks = []
        for root in entries(member['owner'].dereference()['roots_']):
            tasks += children(root.cast(type_of('root').pointer()).dereference().cast(type_of('task_group')))
        found.append(tasks)
    return found


def find(tasks, number):
    """The task that "1.2.3" names."""
    for part in number.split('.'):
        at = int(part) - 1
        if at not in range(len(tasks)):
            raise gdb.GdbError(f'cosock task: there is no task {number}; "cosock tasks" lists them')
        task = tasks[at]
        tasks = task.tasks
    return task


class Cosock(gdb.Command):
    """What the tasks of this program wait for: "cosock tasks", "cosock task N"."""

    def __init__(self):
        super().__init__('cosock', gdb.COMMAND_STACK, prefix=True)


class CosockTasks(gdb.Command):
    """cosock tasks: a line for each task of each loop, with the places of its co_awaits, innermost first."""

    def __init__(self):
        super().__init__('cosock tasks', gdb.COMMAND_STACK)

    def invoke(self, argument, _):
        if argument:
            raise gdb.GdbError('cosock tasks: takes no argument')
        all_loops = loops()
        number = 0
        for tasks in all_loops:
            if len(all_loops) > 1:
                gdb.write(f'loop of {len(tasks)} task' + 's' * (len(tasks) != 1) + '\n')
            for task in tasks:
                number += 1
                gdb.write('\n'.join(task.lines(str(number), 0)) + '\n')


class CosockTask(gdb.Command):
    """cosock task N: the task that "cosock tasks" lists as N, such as 1 or 1.2, and those that it waits for."""

    def __init__(self):
        super().__init__('cosock task', gdb.COMMAND_STACK)

    def invoke(self, argument, _):
        if not re.fullmatch(r'[1-9]\d*(\.[1-9]\d*)*', argument):
            raise gdb.GdbError(f'cosock task: "{argument}" is no number of a task, such as 1 or 1.2')
        all_tasks = [task for tasks in loops() for task in tasks]
        gdb.write('\n'.join(find(all_tasks, argument).lines(argument, 0)) + '\n')


Cosock()
CosockTasks()
CosockTask()
