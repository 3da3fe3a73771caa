//! The Lua scripts of the engine. The Redis server runs each script as one step, without other commands in between.

use std::sync::LazyLock;

use redis::aio::ConnectionLike;
use redis::{FromRedisValue, RedisResult, RedisWrite, ToRedisArgs};

use super::{DEAD, DELAYED, IDS, QUEUE, STATE};

/// A Lua script of the engine. Each script gets all keys of the engine in `KEYS`.
pub(super) type Script = LazyLock<Prepared>;

pub(super) static ENQUEUE: Script = LazyLock::new(|| Prepared::new("", include_str!("enqueue.lua")));
pub(super) static LEASE: Script = LazyLock::new(|| Prepared::new("", include_str!("lease.lua")));
pub(super) static EXTEND: Script = LazyLock::new(|| Prepared::new(FENCE, include_str!("extend.lua")));
pub(super) static CHECKPOINT: Script = LazyLock::new(|| Prepared::new(REPEATABLE, include_str!("checkpoint.lua")));
pub(super) static ACK: Script = LazyLock::new(|| Prepared::new(FENCE, include_str!("ack.lua")));
pub(super) static GIVE_BACK: Script = LazyLock::new(|| Prepared::new(FENCE, include_str!("give_back.lua")));
pub(super) static BURY: Script = LazyLock::new(|| Prepared::new(FENCE, include_str!("bury.lua")));
pub(super) static RETRY_DEAD: Script = LazyLock::new(|| Prepared::new("", include_str!("retry_dead.lua")));
pub(super) static REMOVE: Script = LazyLock::new(|| Prepared::new("", include_str!("remove.lua")));

const FENCE: &str = concat!("local reached = false\n", include_str!("fence.lua"));
/// The beginning of the code of a script that the engine calls a second time if the server's answer to the first call
/// was lost. If the first call has already made the change, the second call also succeeds.
const REPEATABLE: &str = concat!("local reached = ARGV[6] .. ' ' .. ARGV[5]\n", include_str!("fence.lua"));

/// A Lua script that the engine calls by its hash.
pub(super) struct Prepared(redis::Script);

impl Prepared {
    fn new(fence: &str, code: &str) -> Self {
        Self(redis::Script::new(&format!("{fence}{code}")))
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        args: &[Arg<'_>],
    ) -> RedisResult<T> {
        let mut call = self.0.prepare_invoke();
        for key in [QUEUE, IDS, STATE, DEAD, DELAYED] {
            call.key(key);
        }
        for arg in args {
            call.arg(arg);
        }
        call.invoke_async(connection).await
    }
}

/// An argument for a Lua script.
#[derive(Debug, Clone)]
pub(super) enum Arg<'a> {
    Bytes(&'a [u8]),
    Number(u64),
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<u64> for Arg<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl ToRedisArgs for Arg<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        match self {
            Self::Bytes(bytes) => out.write_arg(bytes),
            Self::Number(number) => out.write_arg_fmt(number),
        }
    }
}
