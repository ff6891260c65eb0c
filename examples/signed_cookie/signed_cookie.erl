%%% Who somebody is, from a signed cookie, before Python is asked: an HTTP hook. The application reads the field x-user, which no client can
%%% set. Without a valid cookie every path but /login leads there.
%%%
%%% The cookie is USER.EXPIRES.MAC: the user's name in hex, seconds since 1970, and HMAC-SHA256 of what stands before it, in hex. app.py makes it,
%%% with the same secret (COOKIE_SECRET).
-module(signed_cookie).
-behaviour(hornbeam_http_hook).

-export([on_request/1]).

-import(hornbeam_http_hook, [cookie/2, path/1, with_field/3, without_field/2]).

on_request(Request) ->
    case user(cookie(<<"session">>, Request)) of
        {ok, User} ->
            {ok, with_field(<<"x-user">>, User, Request)};
        none ->
            case path(Request) of
                <<"/login">> -> {ok, without_field(<<"x-user">>, Request)};
                _ -> {reply, 303, [{<<"location">>, <<"/login">>}], <<>>}
            end
    end.

user(undefined) ->
    none;
user(Cookie) ->
    case binary:split(Cookie, <<".">>, [global]) of
        [User, Expires, Mac] ->
            case is_signed(<<User/binary, ".", Expires/binary>>, Mac) andalso is_later(binary_to_integer(Expires)) of
                true -> {ok, binary:decode_hex(User)};
                false -> none
            end;
        _ ->
            none
    end.

%% In constant time, so that nobody finds the MAC octet by octet.
is_signed(Text, Mac) ->
    Expected = string:lowercase(binary:encode_hex(crypto:mac(hmac, sha256, secret(), Text))),
    byte_size(Mac) =:= byte_size(Expected) andalso crypto:hash_equals(Mac, Expected).

is_later(Expires) ->
    Expires > erlang:system_time(second).

secret() ->
    case os:getenv("COOKIE_SECRET") of
        false -> error('COOKIE_SECRET is not set');
        Secret -> Secret
    end.
