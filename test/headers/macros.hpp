// Copyright the cosock authors
// SPDX-License-Identifier: BSL-1.0

// Macros of other libraries with names that a header could use. Those of the system and of libraries
// that are here come from their own headers; those of the others are the same as in theirs.
#pragma once

#include <arpa/inet.h>
#include <assert.h>
#include <complex.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <resolv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/dir.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/ttydefaults.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#if __has_include(<curses.h>)
#include <curses.h>
#endif
#if __has_include(<openssl/ssl.h>)
#include <openssl/ssl.h>
#endif
#if __has_include(<X11/Xlib.h>)
#include <X11/Xlib.h>
#include <X11/Xos.h>
#include <X11/Xutil.h>
#endif
#if __has_include(<X11/extensions/XI.h>)
#include <X11/extensions/XI.h>
#endif

// Qt
#undef signals
#undef slots
#undef emit
#undef foreach
#undef forever
#define signals public
#define slots
#define emit
#define foreach(variable, container) for (variable : container)
#define forever for (;;)

// X11
#undef Absolute
#undef Above
#undef AllValues
#undef Always
#undef Below
#undef Bool
#undef Button1
#undef ClipByChildren
#undef Complex
#undef ControlMask
#undef Convex
#undef CurrentTime
#undef CursorShape
#undef DestroyAll
#undef DirectColor
#undef EvenOddRule
#undef Expose
#undef False
#undef FocusIn
#undef FocusOut
#undef GrayScale
#undef KeyPress
#undef KeyRelease
#undef NoSymbol
#undef Nonconvex
#undef None
#undef Opposite
#undef Relative
#undef Status
#undef Success
#undef True
#undef Unsorted
#undef YSorted
#undef index
#undef max
#undef min
#undef rindex
#define Absolute 1
#define Above 0
#define AllValues 0x000F
#define Always 2
#define Below 1
#define Bool int
#define Button1 1
#define ClipByChildren 0
#define Complex 0
#define ControlMask (1 << 2)
#define Convex 2
#define CurrentTime 0L
#define CursorShape 0
#define DestroyAll 0
#define DirectColor 5
#define EvenOddRule 0
#define Expose 12
#define False 0
#define FocusIn 9
#define FocusOut 10
#define GrayScale 1
#define KeyPress 2
#define KeyRelease 3
#define NoSymbol 0L
#define Nonconvex 1
#define None 0L
#define Opposite 4
#define Relative 0
#define Status int
#define Success 0
#define True 1
#define Unsorted 0
#define YSorted 1
#define index(string, c) (strchr((string), (c)))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define rindex(string, c) (strrchr((string), (c)))

// curses: in C++, the names of the standard library are no macros
#undef attron
#undef echochar
#undef getch
#undef getyx
#undef inch
#undef insch
#undef scroll
#undef timeout
#undef stdscr
#define attron(attributes) wattr_on(stdscr, attributes, 0)
#define echochar(c) wechochar(stdscr, c)
#define getch() wgetch(stdscr)
#define getyx(window, y, x) (y = getcury(window), x = getcurx(window))
#define inch() winch(stdscr)
#define insch(c) winsch(stdscr, c)
#define scroll(window) wscrl(window, 1)
#define timeout(delay) wtimeout(stdscr, delay)
#define stdscr (_nc_stdscr())

// GLib, <complex.h> of C, gettext, Boost, engines of games, kernels, microcontrollers, COM
#undef ABS
#undef CLAMP
#undef F
#undef FALSE
#undef I
#undef N_
#undef TRUE
#undef _
#undef _T
#undef check
#undef ensure
#undef far
#undef interface
#undef likely
#undef near
#undef unlikely
#undef verify
#define ABS(a) (((a) < 0) ? -(a) : (a))
#define CLAMP(x, low, high) (((x) > (high)) ? (high) : (((x) < (low)) ? (low) : (x)))
#define F(text) (text)
#define FALSE 0
#define I _Complex_I
#define N_(text) (text)
#define TRUE 1
#define _(text) gettext(text)
#define _T(text) L##text
#define check(condition) do_check((condition), #condition)
#define ensure(condition) do_ensure((condition), #condition)
#define far
#define interface struct
#define likely(condition) __builtin_expect(!!(condition), 1)
#define near
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define verify(condition) do_verify((condition), #condition)
