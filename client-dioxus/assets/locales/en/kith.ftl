# Words that come again
accept = Accept
cancel = Cancel
change = Change
close = Close
continue = Continue
copied = Copied
copy = Copy
create = Create
decline = Decline
delete = Delete
done = Done
download = Download
edit = Edit
join = Join
language = Language
loading = Loading…
more = More
remove = Remove
retry = Try again
save = Save
send = Send
today = Today
yesterday = Yesterday

# Days and months
weekday-0 = Sunday
weekday-1 = Monday
weekday-2 = Tuesday
weekday-3 = Wednesday
weekday-4 = Thursday
weekday-5 = Friday
weekday-6 = Saturday
weekday-short-0 = Sun
weekday-short-1 = Mon
weekday-short-2 = Tue
weekday-short-3 = Wed
weekday-short-4 = Thu
weekday-short-5 = Fri
weekday-short-6 = Sat
month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December
date = { $weekday }, { $day } { $month }
date-with-year = { $weekday }, { $day } { $month } { $year }
date-short = { $day }/{ $number }
date-short-with-year = { $day }/{ $number }/{ $year }

# Another tab
elsewhere-title = Kith is open in another tab
elsewhere-text = One tab at a time keeps your encryption safe. If you go on here, the other one stops.
elsewhere-use = Use it here

# Signing in
welcome-claim = Your team's words belong to your team.
welcome-point-private = Private chats are encrypted from end to end
welcome-point-people = Friends, rooms, pictures and files in one place
welcome-point-open = Open: works with every Matrix server and app
welcome-foot = Kith, a home for people who work together
server = Server
server-title = Which server?
server-text = Your account lives on a server: your team's, or anybody's who speaks Matrix.
server-address = Server address
server-hint = As in team.example, or a whole address
server-asking = Looking for your server…
sign-in = Sign in
sign-in-title = Welcome back
register = Create an account
register-title = Create your account
user-name = User name
password = Password
registration-token = Registration token
registration-token-hint = Whoever runs the server gave it to you
have-account = You have an account already?
no-account = New here?
registration-closed = This server gives out its accounts itself.

# The list of rooms
rooms = Rooms
search-rooms = Search rooms
filter = Show
filter-all = All
filter-unread = Unread
filter-people = People
filter-rooms = Rooms
nothing-found = Nothing here
no-rooms = It is quiet here
no-rooms-text = Find somebody to talk to, or make a room for your team.
new-room = New room
create-room = Create a room
join-room = Join a room
find-people = Find people
settings = Settings
settings-of = Settings of { $name }
requests = Requests
wants-to-chat = would like to chat with you
invited-by = { $name } has invited you
you-said = You: { $text }
unread-count = { $count ->
    [one] One unread message
   *[other] { $count } unread messages
}
home-title = Choose a room
home-text = Or find somebody to talk to.
offline = No connection. What you write is sent as soon as it is back.
room-empty = Empty room
room-empty-was = Empty room (was { $name })

# What a message is, in a line
preview-image = 🖼 Picture
preview-video = 🎬 Video
preview-audio = 🎵 Sound
preview-sticker = Sticker: { $name }
preview-location = 📍 Place
preview-encrypted = 🔒 Encrypted message
preview-change = The room has changed
preview-invited = Invitation
preview-other = Message
voice-message = Voice message
poll = Poll: { $question }
verification-asked = Verification
call-started = A call has started
message-deleted = Message deleted
message-unsupported = Kith cannot show this yet ({ $kind })

# A room
messages = Messages
room-details = Room details
back-to-rooms = Back to the rooms
encrypted = Encrypted
not-encrypted = Not encrypted
encrypted-hint = Messages are encrypted from end to end: only the people in here can read them.
member-count = { $count ->
    [one] One member
   *[other] { $count } members
}
room-missing = This room is not here
room-missing-text = Perhaps you have left it, or were never in it.
you-left = You are no longer in this room.
drop-here = Drop files to send them
start-of-chat = This is where your chat with { $name } begins.
start-of-room = This is where { $name } begins.
new-messages = New
to-newest = To the newest message
typing-one = { $name } is typing…
typing-two = { $name } and { $other } are typing…
typing-many = { $count } people are typing…

# A message
message-actions = What to do with this message
react = React
react-with = React with { $sign }
reactions = Reactions
reaction-label = { $sign }, { $count }
reply = Reply
copy-text = Copy text
edited = (edited)
spoiler = Hidden: press to show
open-picture = Open { $name }
read-by = Read by { $names }
not-sent = Not sent. { $reason }
send-again = Send again
do-not-send = Do not send
undecryptable-waiting = Waiting for the key of this message…
undecryptable-before-joining = You cannot see messages from before you came in.
undecryptable-before-device = From before you signed in here. Your recovery key opens it.
undecryptable-not-trusted = The sender's device is not trusted, so this message stays closed.
undecryptable-unknown = This message cannot be decrypted.
shield-not-guaranteed = Who wrote this cannot be guaranteed.
shield-unknown-device = Sent from a device that is not known.
shield-unverified-device = Sent from a device that its owner has not verified.
shield-unverified-sender = You have not verified this person.
shield-changed-sender = This person's identity has changed.
shield-wrong-sender = The sender is not the one who encrypted this.
shield-sent-in-clear = Not encrypted.

# Writing
write = Write a message
write-encrypted = Write an encrypted message
attach = Attach files
attachments = Files to be sent
emoji = Emoji
editing = Editing your message
replying-to = Replying to { $name }
cannot-send = You may read here, but not write.
uploading = Sending { $name } ({ $size })
too-many-files = No more than { $count } files at a time
file-unreadable = { $name } cannot be read
emoji-search = Search emoji
emoji-smileys = Smileys
emoji-people = People
emoji-nature = Nature
emoji-food = Food and drink
emoji-travel = Travel
emoji-activities = Activities
emoji-objects = Objects
emoji-symbols = Symbols
emoji-flags = Flags

# What happened in a room
change-joined = { $name } joined
change-invited = { $name } invited { $who }
change-left = { $name } left
change-removed = { $name } removed { $who }
change-banned = { $name } banned { $who }
change-unbanned = { $name } lifted the ban of { $who }
change-declined = { $name } declined the invitation
change-revoked = { $name } took back the invitation of { $who }
change-knocked = { $name } asks to come in
change-name = { $name } is now called { $to }
change-avatar = { $name } changed their picture
change-created = { $name } created the room
change-room-name = { $name } called the room { $to }
change-room-unnamed = { $name } removed the room's name
change-topic = { $name } set the topic: { $to }
change-no-topic = { $name } removed the topic
change-room-avatar = { $name } changed the room's picture
change-encrypted = { $name } switched on encryption
change-permissions = { $name } changed who may do what
change-access = { $name } changed who may come in
change-history = { $name } changed who may read the past
change-pinned = { $name } changed the pinned messages
change-replaced = { $name } moved the room
change-other = { $name } changed { $kind }

# A run of changes in one line
fold-and = { $before }; { $after }
fold-created = { $names } created the room and changed { $count ->
    [one] one setting
   *[other] { $count } settings
}
fold-set = { $names } changed { $count ->
    [one] one setting of the room
   *[other] { $count } settings of the room
}
fold-invited = { $names } { $count ->
    [one] was invited
   *[other] were invited
}
fold-came-and-went = { $names } joined and left
fold-came-back = { $names } left and rejoined
fold-removed = { $names } { $count ->
    [one] was removed
   *[other] were removed
}
fold-banned = { $names } { $count ->
    [one] was banned
   *[other] were banned
}
fold-unbanned = { $names } { $count ->
    [one] is no longer banned
   *[other] are no longer banned
}
fold-declined = { $names } declined { $count ->
    [one] the invitation
   *[other] their invitations
}
fold-uninvited = { $names } { $count ->
    [one] is no longer invited
   *[other] are no longer invited
}
fold-knocked = { $names } asked to join
fold-profile = { $names } changed their name or picture
fold-earlier = { $count } earlier changes
names-two = { $first } and { $second }
names-three = { $first }, { $second } and { $third }
names-many = { $first }, { $second } and { $others } others

# A room's details
members = Members
invite-people = Invite people
invite = Invite
invited = { $name } is invited
and-more = and { $count } more
role-owner = Owner
role-administrator = Administrator
role-moderator = Moderator
role-invited = Invited
role-knocked = Asks to come in
favourite-add = Add to favourites
favourite-remove = Remove from favourites
leave-room = Leave the room
leave-room-text = You will no longer see { $name }. To come back you may need an invitation.
verify-person = Verify this person
verified-person = You have verified this person

# Making and joining rooms, finding people
room-name = Name
room-topic = What is it about? (optional)
room-public = Anybody may join
room-public-hint = Listed on your server, and open to all
room-encrypted = Encrypt from end to end
room-encrypted-hint = Cannot be switched off later
room-encrypted-public = A public room gains nothing by it
room-address = Address of the room
room-address-hint = An address, an ID, or a link to the room
name-or-id = Name or user ID
find-people-hint = Anybody on any server can be found by their whole user ID.
start-chat = Chat
nobody-found = Nobody found
more-people = There are more: write a little more of the name.

# Settings
settings-profile = Profile
settings-appearance = Appearance
settings-security = Security
settings-devices = Devices
theme = Colours
theme-system = As the system
theme-light = Light
theme-dark = Dark
choose-picture = Choose a picture
not-a-picture = That is not a picture that can be shown
display-name = Name that others see
name-saved = Your name is saved
password-change = Change password
password-old = Password until now
password-new = New password
password-changed = Your password is changed
sign-out = Sign out
sign-out-text = This device forgets everything. Keep your recovery key, or another device that is signed in: only they can open your encrypted messages again.
this-device = This device
device-verified = This device is verified
device-verified-text = Others can trust that it is yours.
device-unverified = This device is not verified
device-unverified-text = Others are warned of it, and it cannot open old messages. Verify it with another device, or enter your recovery key.
verify-with-device = Verify with another device
recovery = Recovery key
recovery-key = Recovery key
recovery-on = You have a recovery key
recovery-on-text = It opens your encrypted messages if you lose all your devices.
recovery-off-text = If you lose all your devices, only a recovery key opens your encrypted messages again. It takes a moment to set up.
recovery-incomplete-text = Enter your recovery key, and this device can read everything that your others can.
recovery-set-up = Set up a recovery key
recovery-new-key = Make a new recovery key
recovery-write-down = Write this key down, or keep it in a password manager. It is shown only now.
recover = Unlock
recovered = Your messages are on their way
identity-lost = I have lost everything
identity-reset = Begin anew
identity-reset-text = Only if the recovery key and all other devices are lost: you get a new identity. Old messages stay closed for ever, and everybody who has verified you must do so again.
identity-new = You have a new identity. Set up a recovery key now.
backup-on = Keys are backed up on the server, encrypted
backup-off = Keys are not backed up
devices-text = Sign out whatever you no longer use or do not know.
verified = Verified
not-verified = Not verified
no-encryption = Without encryption
saved = { $name } is saved
not-saved = { $name } could not be saved

# Calls
call = Call
call-start = Call
call-enter = Join the call
call-entering = Entering the call…
call-reconnecting = The connection was lost, and is being found again…
call-recorded = This call is being recorded
call-of-one = { $name } is in a call
call-of-many = { $count } people are in a call
call-goes-on = Your call goes on.
call-back = Back to the call
call-leave = Leave the call
call-preview = What your camera sees
call-permit = Your browser asks whether Kith may use microphone and camera.
call-camera-off = Your camera is off
call-microphone = Microphone
call-microphone-choose = Which microphone
call-camera = Camera
call-camera-choose = Which camera
call-device-usual = The usual one
call-no-microphone = No microphone may be used here: you can listen and watch.
call-mute = Mute the microphone
call-unmute = Switch the microphone on
call-camera-stop = Switch the camera off
call-camera-start = Switch the camera on
call-screen-start = Share your screen
call-screen-stop = Stop sharing your screen
call-screen-of = The screen of { $name }
call-your-screen = Your screen
call-you = You
call-muted = Muted
call-no-relay = This server has no calls.
call-not-reached = The call cannot be reached from here.
call-device-failed = That device does not open.

# Verification
verify-device = Verify a device
verify-waiting = Waiting for { $name }…
verify-requested = { $name } would like to verify you: you both look at seven pictures and compare them, best while you see or hear each other.
verify-requested-own = Another of your devices would like to verify this one.
verify-start = Start
verify-starting = One moment…
verify-compare = Are these seven the same on the other screen, in the same order?
verify-same = They are the same
verify-different = They are different
verify-confirmed = Waiting for the other side to confirm…
verify-done = Verified
verify-done-text = Messages between you and { $name } are safe from anybody in between.
verify-done-own = Both devices trust each other now.
verify-cancelled = Not verified
verify-cancelled-by-us = You stopped it.
verify-cancelled-by-them = The other side stopped it.
verify-cancelled-mismatch = The pictures differed: somebody may be in between. Do not send anything secret, and try again another way.
verify-cancelled-timed-out = It took too long. Just try again.
verify-cancelled-elsewhere = Another of your devices has answered.
verify-cancelled-other = It did not work. Just try again.
sas-dog = Dog
sas-cat = Cat
sas-lion = Lion
sas-horse = Horse
sas-unicorn = Unicorn
sas-pig = Pig
sas-elephant = Elephant
sas-rabbit = Rabbit
sas-panda = Panda
sas-rooster = Rooster
sas-penguin = Penguin
sas-turtle = Turtle
sas-fish = Fish
sas-octopus = Octopus
sas-butterfly = Butterfly
sas-flower = Flower
sas-tree = Tree
sas-cactus = Cactus
sas-mushroom = Mushroom
sas-globe = Globe
sas-moon = Moon
sas-cloud = Cloud
sas-fire = Fire
sas-banana = Banana
sas-apple = Apple
sas-strawberry = Strawberry
sas-corn = Corn
sas-pizza = Pizza
sas-cake = Cake
sas-heart = Heart
sas-smiley = Smiley
sas-robot = Robot
sas-hat = Hat
sas-glasses = Glasses
sas-spanner = Spanner
sas-santa = Santa
sas-thumbs-up = Thumbs up
sas-umbrella = Umbrella
sas-hourglass = Hourglass
sas-clock = Clock
sas-gift = Gift
sas-light-bulb = Light bulb
sas-book = Book
sas-pencil = Pencil
sas-paperclip = Paperclip
sas-scissors = Scissors
sas-lock = Lock
sas-key = Key
sas-hammer = Hammer
sas-telephone = Telephone
sas-flag = Flag
sas-train = Train
sas-bicycle = Bicycle
sas-aeroplane = Aeroplane
sas-rocket = Rocket
sas-trophy = Trophy
sas-ball = Ball
sas-guitar = Guitar
sas-trumpet = Trumpet
sas-bell = Bell
sas-anchor = Anchor
sas-headphones = Headphones
sas-folder = Folder
sas-pin = Pin

# What went wrong
error-offline = The server cannot be reached.
error-timeout = The server took too long to answer.
error-not-a-homeserver = There is no Matrix server at this address.
error-server-too-old = This server is too old for Kith.
error-wrong-password = User name or password is wrong.
error-account-closed = This account is closed.
error-name-taken = This user name is taken.
error-invalid-name = A user name has small letters, digits and . _ - only.
error-weak-password = This password is too easy to guess.
error-registration-closed = This server makes no new accounts.
error-token-needed = This server asks for a registration token.
error-wrong-token = This registration token is not valid.
error-registration-elsewhere = This server makes accounts on its own page only.
error-session-lost = You were signed out. Please sign in again.
error-slow-down = That was too fast: please wait a moment.
error-forbidden = You may not do that.
error-not-found = It is not there.
error-too-large = It is too large.
error-quota = The server has no room left for you.
error-wrong-recovery-key = This is not your recovery key.
error-no-recovery = No recovery key has been set up.
error-invalid-address = This is no valid address or user ID.
error-no-identity = They have not set up encryption yet.
error-storage = This browser keeps nothing. A private window, perhaps?
error-cancelled = Stopped.
error-not-supported = Kith cannot do that here.
error-other = Something went wrong.
