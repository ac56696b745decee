/* How Overdial builds PJSIP: sized for one line process with 1000 calls and 300 new calls a second. */

/* Calls, and what each of them may hold: one RTP and one RTCP socket, a player, a recorder. */
#define PJSUA_MAX_CALLS                 1000
#define PJSUA_MAX_PLAYERS               2048
#define PJSUA_MAX_RECORDERS             2048
#define PJSUA_MAX_CONF_PORTS            4096
#define PJ_IOQUEUE_MAX_HANDLES          8192

/* One account per trunk and per calling-in peer. */
#define PJSUA_MAX_ACC                   256

/* A refused call keeps its transaction for 32 s on UDP (RFC 3261 timer D): 300/s x 32 s is about
 * 10,000 transactions and as many dialogs, before any answered call. These size hash tables. */
#define PJSIP_MAX_TSX_COUNT             65535
#define PJSIP_MAX_DIALOG_COUNT          16383
#define PJSIP_TPMGR_HTABLE_SIZE         127

/* One poll drains a burst instead of leaving most of it to the next loop turn. */
#define PJSIP_MAX_NET_EVENTS            64
#define PJSIP_MAX_TIMED_OUT_ENTRIES     256
#define PJSIP_UDP_SO_RCVBUF_SIZE        1048576
#define PJSIP_UDP_SO_SNDBUF_SIZE        1048576

/* A large INVITE on a UDP trunk stays on UDP: carriers do not answer a surprise on TCP. */
#define PJSIP_DONT_SWITCH_TO_TCP        1
#define PJSIP_MAX_PKT_LEN               8000

#define PJ_HAS_IPV6                     1
#define PJMEDIA_HAS_VIDEO               0

/* Timers without the debugging fields: names and line numbers per entry cost memory per call. */
#define PJ_TIMER_DEBUG                  0
