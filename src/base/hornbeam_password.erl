%%% Hashes of passwords: PBKDF2 (RFC 8018, 5.2) with HMAC-SHA-512, as one line of text.
%%%
%%%     pbkdf2_sha512$210000$SALT$HASH      salt and hash in base64
%%%
%%% Called by: hornbeam_password_command (hash/1), hornbeam_dashboard_secret (is_hash/1), hornbeam_dashboard_access (verify/2). Calls: crypto. Pure, but for the salt.
%%%
%%% The rounds are made here one by one and not by crypto:pbkdf2_hmac/5, which holds its scheduler for all of them: 135 ms in which a server with one
%%% scheduler answers nobody. This takes 0.4 s of a core, of which others get their share. The hash has the length of one block of the function.
-module(hornbeam_password).

-export([hash/1, is_hash/1, verify/2]).

-define(ROUNDS, 210000).
-define(MOST_ROUNDS, 10000000).
-define(BLOCK, 64).
-define(SALT, 16).

-spec hash(Password :: binary()) -> binary().
hash(Password) ->
    Salt = crypto:strong_rand_bytes(?SALT),
    iolist_to_binary(["pbkdf2_sha512$", integer_to_binary(?ROUNDS), $$, base64:encode(Salt), $$,
                      base64:encode(derive(Password, Salt, ?ROUNDS))]).

%% @doc Whether a text is a hash that verify/2 can use.
-spec is_hash(binary()) -> boolean().
is_hash(Text) ->
    parse(Text) =/= error.

%% @doc Whether the password is the one that a hash was made of. The time that takes does not tell how near it was.
-spec verify(Password :: binary(), Hash :: binary()) -> boolean().
verify(Password, Hash) ->
    {ok, Rounds, Salt, Derived} = parse(Hash),
    crypto:hash_equals(derive(Password, Salt, Rounds), Derived).

parse(Text) ->
    case binary:split(Text, <<"$">>, [global]) of
        [<<"pbkdf2_sha512">>, Rounds, Salt, Hash] ->
            try checked(binary_to_integer(Rounds), base64:decode(Salt), base64:decode(Hash))
            catch error:_ -> error      % no number, or no base64, which OTP's decoder says in several ways
            end;
        _ -> error
    end.

checked(Rounds, Salt, Hash) when Rounds > 0, Rounds =< ?MOST_ROUNDS, byte_size(Salt) > 7, byte_size(Hash) =:= ?BLOCK -> {ok, Rounds, Salt, Hash};
checked(_Rounds, _Salt, _Hash) -> error.

derive(Password, Salt, Rounds) ->
    First = crypto:mac(hmac, sha512, Password, <<Salt/binary, 1:32>>),
    derive(Password, First, First, Rounds - 1).

derive(_Password, _Last, Sum, 0) ->
    Sum;
derive(Password, Last, Sum, Rounds) ->
    Next = crypto:mac(hmac, sha512, Password, Last),
    derive(Password, Next, crypto:exor(Sum, Next), Rounds - 1).
