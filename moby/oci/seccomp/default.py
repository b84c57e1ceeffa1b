"""The seccomp profile that a container gets where nobody asks for another: what Docker's users get.

The facts are those of Docker's documentation (Seccomp security profiles for Docker) and of its default profile as of
2026: which calls are allowed to everybody, and which with a capability, by architecture and kernel. All other calls
fail with EPERM, or with ENOSYS where they are newer than the profile.
"""

import errno
import platform
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from moby.oci.seccomp.architectures import Architecture

__all__ = ["default_profile", "running_kernel"]

_FILES = """
    access chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
    flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getdents getdents64
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lchown32 link linkat listmount lseek
    _llseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2
    pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2
    rmdir sendfile sendfile64 splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range
    syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev
    chdir fchdir getcwd
"""
_ATTRIBUTES = """
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
    lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
    eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect pause
    poll ppoll ppoll_time64 pselect6 pselect6_time64 select
"""
_MEMORY = """
    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect
    mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
    cachestat
"""
_PROCESSES = """
    capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getpgid getpgrp getpid
    getppid getpriority getrlimit getrusage getsid gettid ioprio_get ioprio_set landlock_add_rule
    landlock_create_ruleset landlock_restrict_self pidfd_open prctl prlimit64 riscv_hwprobe rseq sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
    set_robust_list set_thread_area set_tid_address setpgid setpriority setrlimit setsid sysinfo times ugetrlimit uname
    uretprobe vfork wait4 waitid waitpid
"""
_USERS = """
    getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid
    getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid
    setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32
"""
_SIGNALS = """
    kill pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask
    sigreturn tgkill tkill
"""
_TIME = """
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64
"""
_TALKING = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake getrandom
"""
_EVERYBODY = (_FILES, _ATTRIBUTES, _WAITING, _MEMORY, _PROCESSES, _USERS, _SIGNALS, _TIME, _TALKING)

_BY_ARCHITECTURE = {
    "X86_64": "arch_prctl modify_ldt",
    "X32": "arch_prctl modify_ldt",
    "X86": "modify_ldt",
    "ARM": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    "AARCH64": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    "PPC64LE": "sync_file_range2 swapcontext",
    "RISCV64": "riscv_flush_icache",
    "S390": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
    "S390X": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
}
_BY_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
        lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
        sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}
_TRACING = "process_vm_readv process_vm_writev ptrace"
"""From Linux 4.8 on, where a filter looks at a call again after a tracer has changed it."""
_TRACING_SINCE = (4, 8)
_AF_ALG, _AF_VSOCK = 38, 40
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, each with UNAME26, and asking which one it is."""
_NEW_NAMESPACES = 0x7E020000
"""Every CLONE_NEW flag of clone(2) but that of time namespaces, which it can't take."""
_OTHERS = {
    "X86_64": ("X86", "X32"),
    "AARCH64": ("ARM",),
    "MIPS64": ("MIPS", "MIPS64N32"),
    "MIPS64N32": ("MIPS", "MIPS64"),
    "MIPSEL64": ("MIPSEL", "MIPSEL64N32"),
    "MIPSEL64N32": ("MIPSEL", "MIPSEL64"),
    "S390X": ("S390",),
    "RISCV64": (),
    "LOONGARCH64": (),
}
"""The architectures whose programs a machine runs too; one that isn't here has just its own."""


def default_profile(native: Architecture, capabilities: Collection[str], kernel: tuple[int, int]) -> dict[str, Any]:
    """Return the profile, as `linux.seccomp` of config.json, for a container's bounding set of capabilities.

    `kernel` is the version of Linux, its first two numbers.
    """
    name = native.name
    architectures = (name, *_OTHERS[name]) if name in _OTHERS else ()
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "architectures": [f"SCMP_ARCH_{each}" for each in architectures],
        "syscalls": [
            {"names": list(_names(name, capabilities, kernel)), "action": "SCMP_ACT_ALLOW"},
            *_conditional(name, capabilities),
        ],
    }


def running_kernel() -> tuple[int, int]:
    """Return the version of Linux that runs, as `default_profile` wants it."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _names(native: str, capabilities: Collection[str], kernel: tuple[int, int]) -> Iterator[str]:
    """Yield the calls that are allowed whatever their arguments, each once."""
    texts = [*_EVERYBODY, _BY_ARCHITECTURE.get(native, "")]
    if kernel >= _TRACING_SINCE:
        texts.append(_TRACING)
    texts += [text for capability, text in _BY_CAPABILITY.items() if capability in capabilities]
    return iter(dict.fromkeys(name for text in texts for name in text.split()))


def _conditional(native: str, capabilities: Collection[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rules that look at arguments."""
    for operator, family in (("LT", _AF_ALG), ("EQ", _AF_ALG + 1), ("GT", _AF_VSOCK)):
        yield _allowed("socket", 0, operator, family)
    for personality in _PERSONALITIES:
        yield _allowed("personality", 0, "EQ", personality)
    if "CAP_SYS_ADMIN" not in capabilities:
        flags = 1 if native in ("S390", "S390X") else 0
        yield _allowed("clone", flags, "MASKED_EQ", _NEW_NAMESPACES)
        # Its flags are in memory, where no filter sees them; programs then take clone(2).
        yield {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS}


def _allowed(name: str, index: int, operator: str, value: int) -> Mapping[str, Any]:
    condition = {"index": index, "value": value, "op": f"SCMP_CMP_{operator}"}
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition]}
